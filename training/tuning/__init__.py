"""Changes a model's weights: encodes what is to be learnt, trains, keeps checkpoints."""
