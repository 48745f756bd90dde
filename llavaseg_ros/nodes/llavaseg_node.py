# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The node `llavaseg`: a command in words and a camera image in, an answer and a mask out.

A lifecycle node. Callbacks only store or put in line; one worker thread owns the model (`ros/worker.py`). `configure`
makes the interfaces, `activate` loads and warms the model in the worker, `deactivate` ends every command, `cleanup`
frees the model. With the parameter `autostart` (the default) the node configures and activates itself.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import partial
from queue import Empty as NothingYet
from queue import Queue
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from std_msgs.msg import Empty, String
from std_srvs.srv import SetBool

from llavaseg_ros.action import Segment
from llavaseg_ros.errors import BadRequest, ErrorCode, LLaVASegError, ModelNotReady
from llavaseg_ros.msg import Command
from llavaseg_ros.nodes import parameters
from llavaseg_ros.nodes.parameter_table import SPECS, usage
from llavaseg_ros.nodes.parameters import Settings
from llavaseg_ros.ros.actions import DeferredActionServer
from llavaseg_ros.ros.commands import CommandRunner, Limits
from llavaseg_ros.ros.diagnostics import diagnostic_array
from llavaseg_ros.ros.dispatch import Dispatcher
from llavaseg_ros.ros.following import Following
from llavaseg_ros.ros.inputs import Inputs
from llavaseg_ros.ros.jobs import Preempted
from llavaseg_ros.ros.lifting import Lifter
from llavaseg_ros.ros.messages import arrival
from llavaseg_ros.ros.models import Loader, ModelKeeper, Wanted
from llavaseg_ros.ros.monitor import Monitor
from llavaseg_ros.ros.outputs import Outputs
from llavaseg_ros.ros.process import run_node
from llavaseg_ros.ros.qos import COMMAND, DIAGNOSTICS, subscription_events
from llavaseg_ros.ros.sessions import Sessions
from llavaseg_ros.ros.transforms import Transforms
from llavaseg_ros.ros.worker import ModelState, ModelWorker
from llavaseg_ros.srv import ResetSession, SegmentAtPrompt, SetModel

NODE_NAME = "llavaseg"
EXECUTOR_THREADS = 5  # two of which services that wait for a model may hold
HOUSEKEEPING_PERIOD_S = 0.2
DIAGNOSTICS_PERIOD_S = 1.0


def load_pipeline(wanted: Wanted) -> Any:
    """The real thing. Imported here, in the worker's thread, because importing torch takes seconds."""
    from llavaseg_ros.device import use_cpu_threads
    from llavaseg_ros.pipeline import LLaVASeg

    use_cpu_threads(wanted.cpu_threads)
    return LLaVASeg.from_pretrained(
        wanted.model, device=wanted.device, mode=wanted.mode, gpu_memory_limit_gb=wanted.gpu_memory_limit_gb
    )


class LLaVASegNode(LifecycleNode):
    """See the module's text. `loader` makes the pipeline; further arguments are those of `rclpy.node.Node`."""

    def __init__(self, *, loader: Loader = load_pipeline, **node_arguments: Any) -> None:
        super().__init__(NODE_NAME, **node_arguments)
        self._state = "unconfigured"
        parameters.declare(self)
        parameters.guard_changes(self, lambda: self._state)
        self.sessions = Sessions()
        self.worker = ModelWorker()
        self.monitor = Monitor(self, self.worker)
        self.inputs = Inputs(self, lambda text: self.get_logger().warning(text, throttle_duration_sec=5.0))
        self._outputs = Outputs(self)
        self.lifter = Lifter(
            self.inputs.depth,
            self.inputs.camera_info,
            self.inputs.depth_camera_info,
            Transforms(self),
            limits=partial(parameters.geometry_limits, self),
        )
        self._runner = CommandRunner(
            self.inputs.images,
            self.sessions,
            self.lifter,
            now_ns=lambda: self.get_clock().now().nanoseconds,
            limits=self._limits,
            partial=partial(self._outputs.send, "answer"),
        )
        self.following = Following(
            self.inputs.images,
            self._runner,
            now_ns=lambda: self.get_clock().now().nanoseconds,
            limits=partial(parameters.follow_limits, self),
            preempted=lambda: self.worker.wanted,
            wake=self.worker.wake,
            publish=self._outputs.publish_followed,
            wants_scene=self._outputs.wants_scene,
        )
        self.inputs.images.on_new = self.following.new_frame
        self.worker.idle_work = self.following
        self._models = ModelKeeper(self.worker, loader, log=self.get_logger().info, new_model=self._new_model)
        self._asked: Wanted | None = None
        self._action: DeferredActionServer | None = None
        self._naming = threading.Lock()  # while model and device are set: together they name a model
        self._dispatcher: Dispatcher | None = None
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", DIAGNOSTICS)
        # Not on the node's clock: simulated time may stand still, time-outs and warnings may not.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        # A group each: the watchdog waits for nothing, not even for a model that is slow to describe itself.
        for period_s, callback in (
            (HOUSEKEEPING_PERIOD_S, self._keep_house),
            (DIAGNOSTICS_PERIOD_S, self._diagnose),
        ):
            self.create_timer(period_s, callback, callback_group=MutuallyExclusiveCallbackGroup(), clock=steady)
        if Settings.of(self).autostart and self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Read the parameters; make topics, services and the action."""
        try:
            settings = Settings.of(self)
            self.inputs.open(transport=settings.image_transport, depth=settings.depth_enabled)
            self._resize_rings(settings)
            self._outputs.open()
            if self._action is None:
                self._action = self._make_command_interfaces()
        except Exception as error:
            self.get_logger().error(f"configure failed: {error}")
            self._release()
            return TransitionCallbackReturn.FAILURE
        self._state = "inactive"
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start to load and warm the model in the worker, unless it is loaded already; return at once."""
        settings = Settings.of(self)
        self._asked = settings.wanted()
        self.worker.open_line()
        self._models.activate(self._asked, warm=settings.warm_up)
        self.following.open()
        self.monitor.start_watch()
        self.monitor.forget_failures()
        result = super().on_activate(state)
        self._state = "active"
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End every command; the model stays loaded."""
        self._state = "inactive"
        self.following.close()
        self.worker.close_line(Preempted("the node was deactivated"))
        self._settle()
        with self._outputs.whole:
            return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the model, the frames and the interfaces."""
        self._state = "unconfigured"
        self._models.forget()
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End every command and the worker."""
        self._state = "finalized"
        self.worker.stop()
        self._settle()
        self._outputs.hand_over()
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """After a failed transition: free everything, back to unconfigured."""
        return self.on_cleanup(state)

    def close(self) -> bool:
        """End every command, with its answer, and the worker. False when the model did not come back in time."""
        self._state = "finalized"
        came_back = self.worker.stop()
        self._settle()
        self._outputs.hand_over()
        return came_back

    def _settle(self) -> None:
        """Every command has ended; wait for the answers that other threads are sending at this moment."""
        if self._dispatcher is not None and not self._dispatcher.settle():
            self.get_logger().error("an answer is not out yet: the publishers fall silent without it")

    def _make_command_interfaces(self) -> DeferredActionServer:
        """Made by the first `configure`, and kept by `cleanup`: rclpy's executor fails when an action server, or a
        subscription with an event handler, is destroyed under it. While not active they answer MODEL_NOT_READY."""
        log = self.get_logger()
        dispatcher = self._dispatcher = Dispatcher(
            self.worker,
            self._runner,
            self._outputs,
            limits=self._limits,
            state=lambda: self._state,
            note=self.monitor.note,
            following=self.following,
        )
        group, own = MutuallyExclusiveCallbackGroup(), MutuallyExclusiveCallbackGroup()
        for message_type, topic, callback in (
            (Command, "command", lambda msg, info: dispatcher.on_command(msg, arrival(info))),
            (String, "command_text", lambda msg, info: dispatcher.on_text(msg.data, arrival(info))),
        ):
            events = subscription_events(topic, log.warning)
            self.create_subscription(
                message_type, topic, callback, COMMAND, callback_group=group, event_callbacks=events
            )
        # In a group of its own: a stop waits for nothing.
        stopping = MutuallyExclusiveCallbackGroup()
        self.create_subscription(
            Empty,
            "stop",
            lambda _, info: dispatcher.on_stop(arrived=arrival(info)),
            COMMAND,
            callback_group=stopping,
            event_callbacks=subscription_events("stop", log.warning),
        )
        self.create_service(ResetSession, "~/reset_session", self._on_reset, callback_group=group)
        self.create_service(SetBool, "~/follow", self._on_follow, callback_group=group)
        # Waits for the model: alone in its group, it holds one of the executor's threads at most.
        self.create_service(SegmentAtPrompt, "~/segment_at_prompt", dispatcher.on_prompt, callback_group=own)
        own = MutuallyExclusiveCallbackGroup()
        self.create_service(SetModel, "~/set_model", self._on_set_model, callback_group=own)
        action = DeferredActionServer(
            self,
            Segment,
            "~/segment",
            accepted=lambda handle, arrived: dispatcher.on_goal(action, handle, arrived),
            cancel=dispatcher.on_cancel,
        )
        return action

    def _release(self) -> None:
        self.following.close()
        self.inputs.close()
        self._outputs.close()
        self._runner.forget_image()
        self.sessions.reset("*")

    def _resize_rings(self, settings: Settings) -> None:
        for store in (self.inputs.images, self.inputs.depth):
            store.resize(settings.sync_ring_size)

    def _limits(self) -> Limits:
        return Settings.of(self).limits()

    def _on_reset(self, request: Any, response: Any) -> Any:
        response.success, response.message = self.sessions.reset(request.session_id)
        return response

    def _on_follow(self, request: Any, response: Any) -> Any:
        result = self.set_parameters([Parameter("follow.enabled", value=bool(request.data))])[0]
        response.success, response.message = bool(result.successful), result.reason or self.following.state
        return response

    def _new_model(self) -> None:
        self._runner.forget_image()
        self.following.new_model()
        self.monitor.forget_failures()

    def _on_set_model(self, request: Any, response: Any) -> Any:
        """Waits until the new model serves or has failed; commands go on meanwhile."""
        settings = Settings.of(self)
        model, device = request.model.strip(), request.device.strip() or settings.device
        wanted = replace(settings.wanted(), model=model, device=device)
        outcome: Queue[LLaVASegError | None] = Queue()
        try:
            for name, value in (("model", wanted.model), ("device", wanted.device)):
                if problem := parameters.problem(name, value):
                    raise BadRequest(problem)
            self._models.exchange(wanted, warm=settings.warm_up, done=outcome.put)
            error = self._wait_for(outcome)
        except LLaVASegError as refused:
            error = refused
        if error is None:
            self._set_model_parameters(wanted)
        else:
            self._log_refusal(wanted, error)
        response.success = error is None
        response.error_code = int(ErrorCode.NONE if error is None else error.code)
        serves = self._models.description.get("name") or wanted.model
        response.message = f"{serves} serves" if error is None else str(error)
        return response

    def _wait_for(self, outcome: Queue[LLaVASegError | None]) -> LLaVASegError | None:
        while True:
            try:
                return outcome.get(timeout=HOUSEKEEPING_PERIOD_S)
            except NothingYet:
                if self._state == "finalized":
                    return ModelNotReady("the node is shutting down")

    def _follow_parameters(self, settings: Settings) -> None:
        """The model's parameters were set while active: exchange the model, or put the parameters back."""
        serving, wanted = self._models.serving, settings.wanted()
        # Only what was set since the last look: the service changes the model first and the parameters then.
        loading = self.worker.state in (ModelState.LOADING, ModelState.RECOVERING)
        if wanted == self._asked or self.worker.swapping or loading:
            return
        self._asked = wanted
        if serving is None or serving == wanted:
            return

        def done(error: LLaVASegError | None) -> None:
            if error is not None:
                self._log_refusal(wanted, error)
                self._set_model_parameters(serving)

        try:
            self._models.exchange(wanted, warm=settings.warm_up, done=done)
        except LLaVASegError as error:
            done(error)

    def _log_refusal(self, wanted: Wanted, error: LLaVASegError) -> None:
        stays = f", {self._models.serving.model!r} stays" if self._models.serving else ""
        self.get_logger().error(f"model {wanted.model!r} cannot serve{stays}: {error}")

    def _set_model_parameters(self, wanted: Wanted) -> None:
        with self._naming:
            self.set_parameters([Parameter("model", value=wanted.model), Parameter("device", value=wanted.device)])

    def _keep_house(self) -> None:
        self.worker.expire()
        with self._naming:
            settings = Settings.of(self)
        self.worker.watch(settings.watch_limits(self._models.warm_up_s))
        self._resize_rings(settings)
        if self._state == "active":
            self._follow_parameters(settings)
            self.lifter.prepare()
            self.monitor.watch_camera(self.inputs, settings.diagnostics_no_image_warning_s)

    def _diagnose(self) -> None:
        snapshot = self.monitor.snapshot(
            self.inputs,
            self.following,
            lifecycle=self._state,
            model=self.worker.describe() or self._models.description,  # a served model's state changes
            limits=Settings.of(self).health_limits(),
        )
        stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(diagnostic_array(snapshot, self.get_fully_qualified_name(), stamp))


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM. Returns the exit code."""
    return run_node(LLaVASegNode, args, name=NODE_NAME, threads=EXECUTOR_THREADS, usage=usage(__doc__, SPECS))


if __name__ == "__main__":
    raise SystemExit(main())
