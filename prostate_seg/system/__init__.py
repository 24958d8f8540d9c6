"""Files and processes.

Files of others are opened in a child process with limits; what is written here is whole or absent.
"""
