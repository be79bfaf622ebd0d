"""Feedback for all or some: asked for at once, made and released by itself. For programs; the pages do the same."""

from fastapi import APIRouter, Request

from kirzl_lab.courses import handed_in
from kirzl_lab.service.assignment_models import FeedbackAnswer, FeedbackAsked, FeedbackAskedAnswer, FeedbackTrouble
from kirzl_lab.service.assignments import ask_feedback, found
from kirzl_lab.service.exchange_models import AssignmentName, CourseName
from kirzl_lab.service.routes import API
from kirzl_lab.service.state import state_of

router = APIRouter(tags=["grading"])

ADDRESS = "/api/courses/{course}/assignments/{assignment}/feedback"


@router.post(ADDRESS, name="api_ask_feedback", status_code=202, summary="Makes feedback and releases it", **API)
async def api_ask_feedback(
    request: Request, course: CourseName, assignment: AssignmentName, asked: FeedbackAsked | None = None
) -> FeedbackAskedAnswer:
    """Pages with scores and comments, as the gradebook has them when they are made; they replace what was released.

    They are for the submission that was graded last. 409 when there is none.
    """
    return FeedbackAskedAnswer(asked=await ask_feedback(request, assignment, asked.students if asked else None))


@router.get(ADDRESS, name="api_feedback_progress", summary="How far feedback is", **API)
async def api_feedback_progress(request: Request, course: CourseName, assignment: AssignmentName) -> FeedbackAnswer:
    """Who waits for it, who has it, and for whom it could not be made."""
    about = await found(request, assignment)
    async with state_of(request).reading() as session:
        attempts = (await handed_in.attempts(session, about.id)).items()
    return FeedbackAnswer(
        waiting=[student for student, mine in attempts if any(one.feedback_asked for one in mine)],
        released=[student for student, mine in attempts if any(one.feedback_at for one in mine)],
        failed=[
            FeedbackTrouble(student=student, problem=one.feedback_problem)
            for student, mine in attempts
            for one in mine
            if one.feedback_problem
        ],
    )
