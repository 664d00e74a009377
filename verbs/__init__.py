"""The verbs of the command line, one a file: arguments in, a call of the packages, a result out.

In `terminal/`: `cli` is the click group, `command` its plumbing, `options` the shared options, `arguments` resolves
the settings, the other modules print results.
"""
