"""Whether the real charts know what the program gives them.

    python -m checks.charts                        what the program passes was looked up in the real charts before
    python -m checks.charts --mirror DIRECTORY     look it up in the charts there, render them with Helm, and hold the
                                                   program's custom resources against the CRDs that come out
    python -m checks.charts --mirror DIRECTORY --record    and record it in charts/checked.yaml, for where no chart is

A chart ignores a key that it does not know, so a misspelt or moved one is no error anywhere: it only has no effect.
"""
