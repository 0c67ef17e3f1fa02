"""The conversations of `chatstore demo`: one TOML file each, and a long one in code.

`conversations` reads the files and says what may stand in them.
"""
