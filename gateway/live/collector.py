"""What the hub and the groups count, as Prometheus reads it: taken from its statistics whenever somebody looks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from .groups import Groups
from .hub import Hub, LogStatistics

_GAUGES: Final[dict[str, tuple[str, Callable[[LogStatistics], float]]]] = {
    "agora_log_feeds": ("Feeds that are open on a log", lambda log: log.feeds),
    "agora_log_topics": ("Topics of a log that somebody listens to", lambda log: log.topics),
    "agora_log_lag_seconds": ("How long the newest row of a log took from the database to here", lambda log: log.lag_s),
}
_COUNTERS: Final[dict[str, tuple[str, Callable[[LogStatistics], float]]]] = {
    "agora_log_rows": ("Rows that a log brought", lambda log: log.rows),
    "agora_log_deliveries": ("Rows handed to feeds", lambda log: log.deliveries),
    "agora_log_overflows": ("Feeds whose queue was full", lambda log: log.overflows),
    "agora_log_coalesced": ("Rows that a newer one stood for", lambda log: log.coalesced),
    "agora_log_gaps": ("Times that rows may have been left out and were read again", lambda log: log.gaps),
    "agora_log_interruptions": ("Times that a change stream broke off", lambda log: log.interruptions),
}


class HubCollector(Collector):
    """Registers with a registry; one label, the log's collection."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def collect(self) -> Iterator[Metric]:
        """The metrics as they are now."""
        statistics = self._hub.statistics
        for name, (text, value) in _GAUGES.items():
            gauge = GaugeMetricFamily(name, text, labels=["log"])
            for log, counted in statistics.items():
                gauge.add_metric([log], value(counted))
            yield gauge
        for name, (text, value) in _COUNTERS.items():
            counter = CounterMetricFamily(name, text, labels=["log"])
            for log, counted in statistics.items():
                counter.add_metric([log], value(counted))
            yield counter


class GroupCollector(Collector):
    """Registers with a registry: how many hear the same, and how often an answer was made for how many."""

    def __init__(self, groups: Groups) -> None:
        self._groups = groups

    def collect(self) -> Iterator[Metric]:
        """The metrics as they are now."""
        groups = self._groups
        yield GaugeMetricFamily("agora_live_groups", "Streams that several may hear", len(groups))
        yield GaugeMetricFamily("agora_live_subscribers", "Who has caught up with one of them", groups.live)
        yield CounterMetricFamily("agora_live_executions", "Answers that were made for a group", groups.executions)
        yield CounterMetricFamily("agora_live_deliveries", "Answers handed to those in a group", groups.deliveries)
