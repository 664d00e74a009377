"""The verbs of the command, one a file: what is asked for, which packages do it, and how it is answered.

Beside them: `group` is the command itself, `options` what several verbs take, `asked` what these name, `once` a recipe
the whole way.
"""
