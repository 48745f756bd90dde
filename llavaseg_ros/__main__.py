# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""`python -m llavaseg_ros`, for launchers that want a module (accelerate launch -m llavaseg_ros ...)."""

from llavaseg_ros.cli.main import main

raise SystemExit(main())
