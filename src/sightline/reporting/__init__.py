"""What the report says and how it looks; `stages/report.py` is the stage.

material.py    the artifacts that a report is made from, opened
results.py     scores against targets and baseline, confusions
data.py        what the data holds
division.py    the split and its leak check
training.py    how the model was trained
sweep.py       the sweep that the model was chosen from; sweep_figures.py its charts
examples.py    which images are shown
verdict.py     the result in plain words, and what to be careful about
facts.py       all of that together, and how to make it again
figures.py     the charts, on what plotting.py gives them all
pictures.py    images, overlays and error maps
page.py        the one HTML file; report.html.jinja, report.css and report.js are its parts
"""
