"""What a registration stores, and how it is read back.

    rows           the columns of a ROI table's row, as a `RoiRecord`
    provenance     task, version, inputs and settings of whatever was stored
    plans          what *consensus* freezes so that *apply* reads its own image only
    applied        the record in a registered image
    well_rows      the same ROI table in all acquisitions of a well
    table_names    names of registered tables

The ROI table of an acquisition is the record of its registration: this layer says what
is in it; how tables and attributes are read, written and replaced is in `storage`.
"""
