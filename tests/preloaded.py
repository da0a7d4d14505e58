"""The last module that the parent of the forked processes loads: it prepares what each of them would do again."""

import gc

from reconcile.reporting.html import templates

for name in templates().list_templates(extensions=["j2"]):
    templates().get_template(name)

# The garbage collector of a forked process would write into each object, and so copy the memory of its parent.
gc.collect()
gc.freeze()
