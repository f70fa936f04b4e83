"""Reading and writing OME-Zarr plates. The only layer that knows ngio and zarr.

It says nothing of what is stored for a registration, or of what that means: `records`
does. Micrometres of ROI tables become pixels here and nowhere else.

    urls.py             where an image, a well, a plate lies; taken apart and checked
    files.py            what holds the files; asks once which of the two it is:
      local/              this machine: locks, and folders replaced in one step
      remote/             an object store: single objects, written in a safe order
    plate/              what the files mean
      work.py             lock and heal the images that a task is about to write
      open_image.py       an opened image: url and ngio's view of it
      images.py           its tables, labels, channels, levels
      rois.py             where a ROI lies in it, in pixels
      roi_tables.py       ROI tables: read with checks, replace
      tables.py           tables of any type: what they are, and whether they are whole
      multiscale.py       units and translations in the metadata of levels
      wells.py            acquisitions of a well, and their reference
      fingerprint.py      whether pixels are still the same
    pixels/             the pixels themselves, with bounded memory
      roi_patches.py      ROIs, read on demand
      block_source.py     what gives the pixels of a new image (`box_source.py`: boxes
                          of another image), which
      pyramid.py          writes with all its resolution levels
      label_boxes.py      boxes around the objects of a label
    library_errors.py   what libraries raise on damaged files, as one error of ours
    upstream.py         what is borrowed from other packages' private parts

`plate` stands on `files`; `pixels` on arrays of zarr.
"""
