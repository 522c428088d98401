"""A stand-in HubSpot to try the program with: `python -m tests.hubspot [COMPANIES]` prints its address and token."""

from __future__ import annotations

import sys
import time

from tests.hubspot.hubspot_portal import Portal, Simulated, owner, pipeline, prop
from tests.hubspot.hubspot_server import TOKEN, serving


class Real(Simulated):
    """The time there is."""

    @property
    def time(self) -> float:
        return time.time()

    @time.setter
    def time(self, value: float) -> None:
        return


ADDED = {
    "companies": ("phone", "linkedin_company_page", "address", "zip", "country", "lifecyclestage"),
    "contacts": ("phone", "mobilephone", "associatedcompanyid"),
}
"""What else the files that the program writes and shows read, by object."""


def fill(portal: Portal, companies: int, contacts: int = 3) -> None:
    """Companies, a second apart, with contacts, the first of which is primary."""
    for name, properties in ADDED.items():
        portal.definitions[name] += [prop(each) for each in properties]
    start = portal.now - 86_400_000
    portal.owners = [owner("32900489", "Kim", "Lee")]
    portal.teams = [{"id": "1881120", "name": "North", "userIds": [], "secondaryUserIds": []}]
    portal.pipelines["deals"] = [pipeline("default", "Sales Pipeline", sappointment="Appointment", swon="Closed Won")]
    for n in range(1, companies + 1):
        portal.put(
            "companies",
            n,
            start + n,
            name=f"Company {n}",
            industry="COMPUTER_SOFTWARE",
            numberofemployees=str(n),
            hubspot_owner_id="32900489",
            hubspot_team_id="1881120",
        )
        portal.put("deals", n, start + n, dealname=f"Deal {n}", pipeline="default", dealstage="won")
        for k in range(contacts):
            id_ = n * 10 + k
            portal.put("contacts", id_, start + n, firstname=f"Kim {k}", lastname="Doe", email=f"kim{id_}@example.com")
            portal.link("companies", n, "contacts", id_, primary=k == 0)


def main() -> None:
    portal = Portal(Real())
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    fill(portal, count)
    with serving(portal) as standin:
        standin.lists.add("9", "VIP customers", *range(1, count + 1, 3))
        print(standin.url, TOKEN, flush=True)
        while True:
            time.sleep(5)
            print(standin.counted(), flush=True)


if __name__ == "__main__":
    main()
