"""The dashboard as a workspace and a report of Weights & Biases."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from guided_seg.dashboard.board import BoardPanel, Section
from guided_seg.errors import UserError

TITLE = "guided_seg"
_X = "trainer/global_step"
_WITHOUT = "or make the page without W&B: guided-seg study DIR --html"


class Views:
    """A workspace and a report with the same panels.

    Args:
        sections: the panels.
        project: of W&B.
        entity: its owner; empty for a specification that names none.

    Raises:
        UserError: the package wandb-workspaces is missing.
    """

    def __init__(self, sections: Sequence[Section], project: str, entity: str = "") -> None:
        try:
            import wandb_workspaces.reports.v2 as wr
            import wandb_workspaces.workspaces as ws
        except ImportError as error:
            raise UserError(
                f"The dashboard needs a package that is not installed ({error}); pip install 'guided_seg[wandb]', "
                f"{_WITHOUT}."
            ) from error
        self._wr: Any = wr  # its names are not exported in the sense of type checkers
        self.workspace: Any = ws.Workspace(
            name=TITLE,
            entity=entity,
            project=project,
            sections=[
                ws.Section(name=section.title, is_open=True, panels=[self._panel(panel) for panel in section.panels])
                for section in sections
            ],
            settings=ws.WorkspaceSettings(x_axis=_X),
        )
        self.report: Any = self._wr.Report(
            project=project,
            entity=entity,
            title=TITLE,
            description="Made by guided-seg dashboard.",
            width="fluid",
            blocks=[self._wr.TableOfContents(), *(block for section in sections for block in self._blocks(section))],
        )

    def specification(self) -> dict[str, Any]:
        """Both as plain values, as they are sent to W&B; made without a network."""
        # their public methods only send
        views: Mapping[str, Any] = {"workspace": self.workspace, "report": self.report}
        return {
            name: view._to_model().model_dump(mode="json", by_alias=True, exclude_none=True)
            for name, view in views.items()
        }

    def save(self) -> list[str]:
        """Send both to W&B, and return their addresses.

        Raises:
            UserError: it cannot be reached, or does not take them.
        """
        # the report first, as it also makes the project
        return [_sent(view).url for view in (self.report, self.workspace)]

    def _blocks(self, section: Section) -> list[Any]:
        """A heading, and a grid of panels; a table groups the runs of its own grid."""
        wr, grouped = self._wr, [panel for panel in section.panels if panel.kind == "table"]
        runs = wr.Runset(groupby=[f"config.{key}" for panel in grouped for key in panel.settings])
        texts = [wr.UnorderedList(items=[f"{panel.title}: {panel.about}" for panel in section.panels])]
        grid = wr.PanelGrid(runsets=[runs], panels=[self._panel(panel) for panel in section.panels])
        return [wr.H2(text=section.title), *texts, grid]

    def _panel(self, panel: BoardPanel) -> Any:
        wr, keys = self._wr, list(panel.keys)
        top = 1.0 if panel.share else None
        if panel.kind == "lines":
            return wr.LinePlot(title=panel.title, x=_X, y=keys, log_y=panel.log, range_y=(0.0 if top else None, top))
        if panel.kind == "pictures":
            return wr.MediaBrowser(
                title=panel.title, media_keys=keys, num_columns=1, mode="gallery", gallery_axis="step"
            )
        if panel.kind == "chart":
            return self._chart(panel)
        if panel.kind == "parallel":
            columns = [wr.ParallelCoordinatesPlotColumn(metric=wr.Config(key)) for key in panel.settings]
            columns += [wr.ParallelCoordinatesPlotColumn(metric=wr.SummaryMetric(key)) for key in keys]
            return wr.ParallelCoordinatesPlot(title=panel.title, columns=columns)
        return wr.BarPlot(
            title=panel.title,
            metrics=keys,
            orientation="h",
            range_x=(0.0, top),
            groupby=wr.Config(panel.settings[0]) if panel.settings else None,
            groupby_aggfunc="mean" if panel.settings else None,
        )

    def _chart(self, panel: BoardPanel) -> Any:
        """The lines that ``wandb.plot.line_series`` logs, from its table."""
        (key,) = panel.logged
        return self._wr.CustomChart(
            query={"summaryTable": {"tableKey": key}},
            chart_name="wandb/lineseries/v0",
            chart_fields={"step": "step", "lineKey": "lineKey", "lineVal": "lineVal"},
            chart_strings={"title": panel.title},
        )


def entity_of(given: str | None) -> str:
    """The owner of the project on W&B: as given, of ``WANDB_ENTITY``, or the default one of the account.

    Raises:
        UserError: W&B cannot be reached, or there is no key.
    """
    try:
        import wandb

        wandb.setup(wandb.Settings(silent=True))  # so that without a key it fails instead of prompting
        account = wandb.Api()
        return given or os.environ.get("WANDB_ENTITY") or account.default_entity or ""
    except Exception as error:
        raise _unreachable(error) from error


def _sent(view: Any) -> Any:
    try:
        return view.save()
    except Exception as error:
        raise _unreachable(error) from error


def _unreachable(error: Exception) -> UserError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    return UserError(
        f"W&B cannot be reached ({reason}); run wandb login, write the specification with --out dashboard.json, "
        f"{_WITHOUT}."
    )
