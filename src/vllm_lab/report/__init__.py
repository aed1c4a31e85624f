"""The report: one page in which every number and figure opens the job that made it.

results    the verified result files; makes Numbers from places in them
blocks     the vocabulary of a report: Number, Text, Table, Figure, Note, Answer, Section
measured   the one renderer of result documents, of any test of any stage
parts      one file for each stage; its function `build` makes the Section
report     all sections in order, what ran and where, and the flat summary
render     the page, and the same blocks as Markdown

A new part is a file in `parts`, its name in the list there, and a test.
"""
