"""Apache Arrow, which has no types of its own to check against."""

from __future__ import annotations

from typing import Any, Final

import pyarrow  # pyright: ignore[reportMissingTypeStubs]
import pyarrow.parquet  # pyright: ignore[reportMissingTypeStubs]

pa: Final[Any] = pyarrow
pq: Final[Any] = pyarrow.parquet
ArrowError: Final[type[Exception]] = pa.ArrowException
