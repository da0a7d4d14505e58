"""Recipes of trainings that take seconds."""

RECIPE = """
version = "tiny"
labels = ["0", "1", "2", "3+"]
batch_size = 8
drawings = 6
validation_fold = 1
stitched = 0.25
erased = 0.5
dtype = "float32"
[[stages]]
size = 32
epochs = {first}
learning_rate = 1e-3
[[stages]]
size = 40
epochs = 1
learning_rate = 1e-4
"""

ONE_EPOCH = RECIPE.format(first=1)[: RECIPE.format(first=1).rindex("[[stages]]")].replace('dtype = "float32"\n', "")
"""One stage of one epoch, with the default dtype."""
