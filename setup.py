"""Only the native extensions; everything else stands in pyproject.toml."""

from pathlib import Path

from setuptools import Extension, setup


def extension(name: str, folder: str) -> Extension:
    """The C files of a folder as an extension of the stable ABI."""
    return Extension(
        name,
        sources=sorted(str(path) for path in Path(folder).glob("*.c")),
        depends=sorted(str(path) for path in Path(folder).glob("*.h")),
        extra_compile_args=[
            "-std=c11",
            "-O2",
            "-Wall",
            "-Wextra",
            "-Wno-missing-field-initializers",
            "-pthread",
        ],
        extra_link_args=["-pthread"],
        define_macros=[("Py_LIMITED_API", "0x030B0000")],
        py_limited_api=True,
    )


setup(
    ext_modules=[
        extension("appliance.ptp._native", "appliance/ptp/native"),
        extension("appliance.bound._native", "appliance/bound/native"),
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
