"""Run tasks one after the other on the same images: what `register` does.

    catalogue    the tasks of the task list, as they can be run
    planning     what they would do, and whether they can, asked before the first one
    output       counterparts of input that must not be written
    run          find the images, check them, run the tasks, read what became of them

The command line and the functions of Python are two ways to call it: they parse, and
they show.
"""
