"""Prints how many tests of JUnit reports passed and failed: `<passed> <failed>`. Skipped ones count as neither."""

import sys
import xml.etree.ElementTree as tree

suites = [suite for name in sys.argv[1:] for suite in tree.parse(name).getroot().iter("testsuite")]
failed = sum(int(suite.get("failures", 0)) + int(suite.get("errors", 0)) for suite in suites)
skipped = sum(int(suite.get("skipped", 0)) for suite in suites)
total = sum(int(suite.get("tests", 0)) for suite in suites)
print(total - failed - skipped, failed)
