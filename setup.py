"""Only the native extension; everything else stands in pyproject.toml."""

from setuptools import Extension, setup

NATIVE = "appliance/ptp/native"

setup(
    ext_modules=[
        Extension(
            "appliance.ptp._native",
            sources=[f"{NATIVE}/{name}.c" for name in ("module", "server", "wire", "contracts")],
            depends=[f"{NATIVE}/{name}.h" for name in ("server", "wire", "contracts", "clock_page")],
            extra_compile_args=["-std=c11", "-O2", "-Wall", "-Wextra", "-Wno-missing-field-initializers"],
            define_macros=[("Py_LIMITED_API", "0x030B0000")],
            py_limited_api=True,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
