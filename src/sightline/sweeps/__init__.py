"""Sweeps: many trainings that search the settings for the best ones. Optuna draws, stops and remembers.

draws.py    how the values of one setting are spread, in W&B's words, and what Optuna draws for them
names.py    what a parameter of the file is called among Sightline's settings
plan.py     the sweep file: what is searched, by which method, for which number
study.py    the study that is kept in the store: who takes up which trial, what came of it
trials.py   one trial: an ordinary training with changed settings, stopped early where it does badly
workers.py  several processes on one study
outcome.py  the artifact that is left of a sweep; artifact.py reads it
sweep.py    all of it, from the images to the report
commands.py the command `sweep`
"""
