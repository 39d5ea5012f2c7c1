"""Prints how many tests of a JUnit report passed and failed: `<passed> <failed>`. Skipped ones count as neither."""

import sys
import xml.etree.ElementTree as tree

suites = list(tree.parse(sys.argv[1]).getroot().iter("testsuite"))
failed = sum(int(suite.get("failures", 0)) + int(suite.get("errors", 0)) for suite in suites)
skipped = sum(int(suite.get("skipped", 0)) for suite in suites)
total = sum(int(suite.get("tests", 0)) for suite in suites)
print(total - failed - skipped, failed)
