"""No deadlines: the first call of a compiled kernel takes seconds."""

from hypothesis import settings

settings.register_profile("sharing", deadline=None)
settings.load_profile("sharing")
