"""What the rules of the workflow compute from the configuration. No script imports it, so it reruns nothing.

flags   the configuration as flags of the scripts
files   the lists of files that rules read and make
report  the jobs behind the report, and the results that it shows
"""
