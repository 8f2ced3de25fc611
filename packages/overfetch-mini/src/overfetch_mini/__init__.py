"""The weights of the mini cross-encoders and of the default embedder, as files in `weights/`; `overfetch` loads them.

Their card is the README.
"""
