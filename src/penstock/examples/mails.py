"""A queue of e-mails: ``python -m penstock.examples.mails SERVER:PORT ADDRESS ...``.

A server that is busy is tried again; a mail during which a process died is not, for it may have been sent.
"""

from __future__ import annotations

import smtplib
from email.message import EmailMessage
from functools import partial

from penstock import Pipeline, current_job
from penstock.examples import Arguments, run


def send(server: str, address: str) -> str:
    """One mail; its Message-ID is that of the job, the same at each try."""
    job = current_job()
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "penstock@localhost", address, "Hello"
    mail["Message-ID"] = f"<{job.id.replace(':', '.') if job else 0}@penstock>"
    mail.set_content("It came through the pipe.\n")
    with smtplib.SMTP(server, timeout=30) as connection:
        try:
            connection.send_message(mail)
        except smtplib.SMTPRecipientsRefused as refusal:
            code, reason = refusal.recipients[address]
            if code < 500:
                raise
            return f"refused: {reason.decode(errors='replace')}"
    return "sent"


def main(arguments: Arguments) -> int:
    """Send to all; the exit code says whether all were sent."""
    arguments.add_argument("server", metavar="SERVER:PORT", help="the mail server that is asked to send them")
    arguments.add_argument("addresses", nargs="+", metavar="ADDRESS", help="who gets one")
    asked = arguments.parse_args()
    server, addresses = asked.server, asked.addresses
    sent = 0
    with Pipeline() as pipeline:
        batch = pipeline.batch(
            partial(send, server), addresses, name="mails", retries=3, max_crashes=1, time_limit="2m"
        )
        for outcome in batch.follow():
            print(f"{addresses[outcome.index]}: {outcome.value or outcome.cause}")
            sent += outcome.value == "sent"
    return int(sent < len(addresses))


if __name__ == "__main__":
    run(main, "mails", __doc__)
