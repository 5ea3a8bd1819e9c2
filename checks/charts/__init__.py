"""Checks that the real charts know the values that the program and the HelmReleases of `gitops/` pass to them.

    make charts CHARTS_MIRROR=DIRECTORY            the last of these, with the programs that it needs
    python -m checks.charts                        check that the values passed were looked up in the real charts
    python -m checks.charts --mirror DIRECTORY     look them up in the charts there, render these with Helm, and check
                                                   the program's custom resources against the rendered CRDs
    python -m checks.charts --mirror DIRECTORY --record    also record it in charts/checked.yaml, for use without charts

A chart ignores unknown keys, so a misspelt or moved one causes no error anywhere: it just has no effect.
"""
