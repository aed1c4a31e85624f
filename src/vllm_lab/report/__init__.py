"""The report: one page in which every number and figure opens the job that made it.

results    the verified result files a report may read; makes Numbers from places in them
blocks     what a report is made of: Number, Text, Table, Figure, Note, Answer, Section
units      how values are shown to people
sections   one module for each part of the laboratory: its results as a Section, or None without them
jobs       the provenance documents behind the results, numbered and chained
report     puts the sections together; the flat summary
html       the page; markdown: the same blocks as text

A new part adds one module to `sections` and its name to the list there; nothing else changes.
"""
