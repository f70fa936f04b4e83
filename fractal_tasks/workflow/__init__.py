"""Run tasks one after the other on the same images: what `register` does.

    catalogue    the tasks of the task list, as they can be run
    healing      what interrupted runs have left
    begun        wells of which an interrupted run has registered a part
    planning     what they would do, and whether they can, asked before the first one
    output       counterparts of input that must not be written
    results      what became of the images
    run          all of these in order

The command line and the functions of Python are two ways to call it: they parse, and
they show.
"""
