"""Results measured elsewhere: carried home in one file, with the documents of the jobs that made them.

pack   measured results, their documents and the configuration, as one zip file
merge  what must hold before such a file is let in; where it lies then
"""
