"""Mine preference data for reward models from forum threads.

The commands of `shp-miner` call these same names:

    import_dump(kind, paths, store)                      dump files into a store
    import_frames(posts, answers, store, site=)          own tables into a store
    crawl(source, communities, store, site=, limit=)     threads of a living forum into a store
    recheck(store)                                       visits to threads read before
    forget(store, authors=, ids=)                        content out of a store and its exports
    export_dataset(store, out, rule=, format=)           a store through a rule into Parquet shards
    load(out, community, split=)                         an export as a datasets.Dataset
    scan(out, community, split=)                         the same, read later: polars, pandas, torch, batches
    check(out, tools=)                                   whether an export is right, and what trainers keep of it
    train(out)                                           a reward model on an export, and how good it is
    score(model, question, answers)                      scores of answers by a trained model
    push(out, repo)                                      an export to the Hugging Face Hub
    run(pipeline)                                        all that a pipeline file asks for
    stats(store)                                         a store's communities and sizes
    status(store)                                        how a store is, and what is wrong
    preset(name, **parameters)                           a rule
    clean_profile(name, **parameters)                    what an export cleans
    evaluation_sets(paths, columns=, preset=)            test items, whose texts an export leaves out
    make_pairs(posts, answers, rule)                     the pairs of one rule, without a store
    Store(path)                                          the store itself; posts(), answers() as polars frames
    POST, ANSWER, PAIR                                   the columns of a store and of pairs

Each name and its module stand in `__init__.pyi`. Nothing is imported before it is used: `shp-miner --help` must not
wait for Arrow.
"""

from __future__ import annotations

from typing import Any

import lazy_loader

_public, _, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__"]


def __getattr__(name: str) -> Any:
    if name != "__version__":
        return _public(name)
    from importlib.metadata import version  # noqa: PLC0415  (a tenth of the time of `--help`)

    return version("shp-miner")


def __dir__() -> list[str]:
    return sorted(__all__)
