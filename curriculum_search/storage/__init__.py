"""Results in a bucket: every command works in a folder of this machine, a working copy, which is copied to the bucket.

`remote` is a folder in a bucket, `working_copy` the folder here and what it is a copy of, `mirror` the thread that
copies, `claim` keeps a second command out, `run_files` is what a worker on another node needs of a run, `reading` is
for who only reads.  Nothing else of the package knows of buckets: all of it works with paths.
"""

from curriculum_search.storage.reading import as_it_stands, fetched, folders, sent
from curriculum_search.storage.remote import is_address
from curriculum_search.storage.run_files import shared_run
from curriculum_search.storage.working_copy import address_of, bring, kept, origin, working_copy_of

__all__ = [
    "as_it_stands",
    "bring",
    "fetched",
    "folders",
    "is_address",
    "kept",
    "origin",
    "sent",
    "shared_run",
    "address_of",
    "working_copy_of",
]
