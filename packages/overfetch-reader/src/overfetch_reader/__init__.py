"""The weights of the reader cross-encoder, as files in `weights/`; `overfetch` loads them.

Their card is the README.
"""
