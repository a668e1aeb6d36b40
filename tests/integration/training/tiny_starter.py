"""training.tasks.run with a starter that is made in seconds: a tiny one, hardly trained."""

import sys
from functools import partial

from training import starter
from training.sizes import TINY_SHAPE, Recipe
from training.tasks.run import main

if __name__ == "__main__":
    recipe = Recipe(steps=6, batch_tokens=1000, warmup_steps=2)
    starter.make_starter_model = partial(
        starter.make_starter_model, shape=TINY_SHAPE, recipe=recipe
    )
    sys.exit(main())
