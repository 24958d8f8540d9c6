"""Files and processes.

Input files are opened in a child process with limits on time and memory. Output files are written completely or
not at all.
"""
