"""Copy files and folders to, from and in object stores.

Imported for remote urls only.
"""

from fractal_tasks.storage.remote.access import writing_store
from fractal_tasks.storage.remote.folder import ObjectFolder
from fractal_tasks.storage.remote.walk import download_tree
from fractal_tasks.storage.urls import Location

_READ_ONLY_SCHEMES = {"http", "https"}


def is_read_only(url: str) -> bool:
    """Whether objects can only be read by a url, and not be listed."""
    return url.partition("://")[0] in _READ_ONLY_SCHEMES


def copy_object(source: Location, target: Location) -> None:
    """Copy a file where source, target or both lie in an object store."""
    folder, _, name = source.url.rpartition("/")
    if source.is_remote:
        content = ObjectFolder(Location(folder, source.storage_options)).read(name)
    else:
        content = source.path.read_bytes()
    folder, _, name = target.url.rpartition("/")
    if target.is_remote:
        ObjectFolder(Location(folder, target.storage_options)).write(
            name, content or b""
        )
    else:
        target.path.write_bytes(content or b"")


def copy_objects(source: Location, target: Location) -> None:
    """Copy a folder where source, target or both lie in an object store."""
    if not source.is_remote:
        ObjectFolder(target).upload(source.path)
    elif is_read_only(source.url):
        download_tree(ObjectFolder(source), target.path)
    elif not target.is_remote:
        ObjectFolder(source).download(target.path)
    else:
        origin, copy = ObjectFolder(source), ObjectFolder(target)
        keys = origin.list_keys()
        with writing_store(target.url):
            origin.file_system.copy(
                [origin.path_of(key) for key in keys],
                [copy.path_of(key) for key in keys],
            )
