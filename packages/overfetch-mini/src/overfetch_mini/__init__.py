"""The weights of the mini cross-encoder, as files in `weights/`; `overfetch` loads them. See MODEL_CARD.md."""
