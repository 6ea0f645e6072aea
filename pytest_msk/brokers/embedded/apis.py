"""Everything that is served: to import this module is to have every handler registered."""

import pytest_msk.brokers.embedded.alter_configs
import pytest_msk.brokers.embedded.api_versions
import pytest_msk.brokers.embedded.delete_records
import pytest_msk.brokers.embedded.describe_configs
import pytest_msk.brokers.embedded.describe_topics
import pytest_msk.brokers.embedded.fetch
import pytest_msk.brokers.embedded.groups.classic_requests
import pytest_msk.brokers.embedded.groups.consumer_requests
import pytest_msk.brokers.embedded.groups.find_coordinator
import pytest_msk.brokers.embedded.groups.group_requests
import pytest_msk.brokers.embedded.groups.offset_requests
import pytest_msk.brokers.embedded.list_offsets
import pytest_msk.brokers.embedded.log_dirs
import pytest_msk.brokers.embedded.metadata
import pytest_msk.brokers.embedded.offset_for_leader_epoch
import pytest_msk.brokers.embedded.produce
import pytest_msk.brokers.embedded.quorum
import pytest_msk.brokers.embedded.quotas
import pytest_msk.brokers.embedded.reassignments
import pytest_msk.brokers.embedded.sasl_requests
import pytest_msk.brokers.embedded.scram_credentials
import pytest_msk.brokers.embedded.topic_admin
import pytest_msk.brokers.embedded.transactions.inspection
import pytest_msk.brokers.embedded.transactions.markers
import pytest_msk.brokers.embedded.transactions.offsets
import pytest_msk.brokers.embedded.transactions.requests  # noqa: F401
