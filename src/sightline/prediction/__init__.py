"""Using a trained model: on images and videos of one's own, and outside PyTorch.

sources.py  which images and videos are meant, and what their predictions are called
video.py    the frames of a video, one after another
folder.py   what is written: whole files, and a note of each that lets a rerun go on
batches.py  images of equal size, predicted together
models.py   a model artifact or an ONNX file, opened
predict.py  all of it: the command `predict`
export.py   the command `export`: a model as an ONNX file, compared with PyTorch
"""
