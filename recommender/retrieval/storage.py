"""Arrays to disk and back, the same bytes for the same arrays; nothing here knows what they mean."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recommender.workspace import write_bytes_atomically

__all__ = ["matrix_arrays", "matrix_from_arrays", "read_arrays", "write_arrays"]

Arrays = Mapping[str, npt.NDArray[np.generic]]


def write_arrays(path: Path, arrays: Arrays) -> None:
    """An npz file that `numpy.load` reads; `numpy.savez` would stamp it with the time of writing."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(arrays):
            content = io.BytesIO()
            np.lib.format.write_array(content, np.ascontiguousarray(arrays[name]), version=(1, 0), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0)), content.getvalue())
    write_bytes_atomically(path, target.getvalue())


def read_arrays(path: Path) -> dict[str, npt.NDArray[np.generic]]:
    """Every array of the file; pickled objects are refused."""
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def matrix_arrays(prefix: str, matrix: sparse.csr_matrix) -> dict[str, npt.NDArray[np.generic]]:
    """A sparse matrix as three named arrays and its shape."""
    return {
        f"{prefix}_data": matrix.data,
        f"{prefix}_indices": matrix.indices.astype(np.int32),
        f"{prefix}_indptr": matrix.indptr.astype(np.int32),
        f"{prefix}_shape": np.asarray(matrix.shape, dtype=np.int64),
    }


def matrix_from_arrays(prefix: str, arrays: Arrays) -> sparse.csr_matrix:
    """The matrix that `matrix_arrays` took apart."""
    parts = (arrays[f"{prefix}_data"], arrays[f"{prefix}_indices"], arrays[f"{prefix}_indptr"])
    rows, columns = (int(size) for size in arrays[f"{prefix}_shape"])
    return sparse.csr_matrix(parts, shape=(rows, columns))
