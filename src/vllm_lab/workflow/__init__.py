"""What the rules of the workflow compute from the configuration. No script imports it, so it reruns nothing.

flags  the configuration as flags of the scripts
files  the lists of files that rules read and make
"""
