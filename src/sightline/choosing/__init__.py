"""Choosing between trained models: runs side by side, and the alias that marks the one to go on with.

compare.py   several runs against the first: what differs in settings and in scores
promote.py   an alias moved to a model
commands.py  the commands `compare` and `promote`
"""
