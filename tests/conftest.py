"""Settings and fixtures that every test may use.

Property tests are derandomised, so that a run in CI says the same as a run at home; `HYPOTHESIS_PROFILE=explore` looks
further, with fresh seeds. What a test needs from the machine is a fixture here: missing, the test is skipped with the
reason in pytest's summary, or fails where `DYNACACHE_TEST_REQUIRE` names it, as it does in CI.
"""

import os
import shutil

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["pytester"]

settings.register_profile("default", deadline=None, derandomize=True, max_examples=100, print_blob=True)
settings.register_profile(
    "explore", deadline=None, max_examples=2000, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(scope="session")
def redis_server_path() -> str:
    """The redis-server executable that comparisons run against."""
    path = shutil.which("redis-server")
    if path is not None:
        return path
    reason = "redis-server is not installed (Debian: apt-get install redis-server)"
    if "redis" in os.environ.get("DYNACACHE_TEST_REQUIRE", "").split(","):
        pytest.fail(reason)
    pytest.skip(reason)
