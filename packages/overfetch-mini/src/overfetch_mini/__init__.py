"""The weights of the mini cross-encoder, as files in `weights/`; `overfetch` loads them. Their card is the README."""
