"""A run as a research object: one description of what was made how, from what, by whom and where.

run_crate  the description: a Provenance Run Crate made of the provenance documents
entities   what such a description is made of: files, tools, machines, parameters
"""
