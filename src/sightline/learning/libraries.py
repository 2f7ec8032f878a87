"""fastai and segmentation_models_pytorch, imported without the warnings of what they themselves still call."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import segmentation_models_pytorch as models
    from fastai.vision import all as vision

__all__ = ["models", "vision"]
