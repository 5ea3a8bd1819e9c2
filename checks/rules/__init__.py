"""The rules: one small module for each subject, each rule a function that reads the model and yields findings.

`rule.py` has the form, and docs/adding-a-rule.md shows how to add one.
"""
