"""Finds out about this computer, one file an area.

Every function takes what it asks (:class:`~localfp4.doctor.gather.surroundings.Surroundings`), and
returns values: what cannot be found out is ``None`` or empty. ``everything`` puts them together and
sees to it that no area raises or takes for ever.
"""
