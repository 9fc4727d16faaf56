"""The verbs of the command line, one module per group; a verb calls its one module and prints what it returns."""
