"""Training and measuring: the only folder that imports torch and fastai."""
