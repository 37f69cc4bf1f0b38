/* Pairing (docs/ref/pairing.md) with a courier that does what it likes. TestModel has
 * spin check each property at the end of this file, and then again with each check left
 * out that a macro can leave out, to see that the properties notice.
 *
 * The courier gives any message that was ever said to anyone, in any order, any number of
 * times or never. It has keys of its own, and may have filmed the code: then it makes
 * every message of this pairing that its keys can sign. It cannot make a MAC without the
 * code nor a signature without the key. It has all messages of another pairing, of
 * another owner and another camera, from the start. Power is cut between the camera's two
 * writes, the camera loses its state once, time passes at any moment. Whenever it likes,
 * the courier becomes an honest one.
 */

/* Owners, devices and codes: one of each belongs to this pairing, one to the other; the
 * courier has an owner's and a device's key. */
#define OURS    0
#define OTHER   1
#define COURIER 2
#define NOBODY  3

/* A run is what a hello begins: the camera's first or, when it lost its state, second
 * one, or one by the courier's device. It stands for the transcript, which names all that
 * was said before. */
#define FIRST  0
#define SECOND 1
#define THEIRS 2
#define NORUN  3
#define DEVICE(run) (run == THEIRS -> COURIER : OURS)

/* Phases */
#define BEGUN  0
#define AGREED 1
#define DONE   2
#define FAILED 3

mtype = { hello, offer, accept, done, abort };

/* A message: its kind, the code that it is authenticated with, who signed it, its run, and
 * the owner of the record in it, who signed that. Each side hears what the other says: a
 * key for each direction. */
chan toOwner  = [0] of { mtype, byte, byte, byte, byte };
chan toCamera = [0] of { mtype, byte, byte, byte, byte };

bool hellos[3], offers[3], accepts[3], dones[3], cameraAborts[3], ownerAbort; /* what was said */

byte owner = BEGUN, camera = BEGUN; /* phases */
byte took = NORUN;                  /* the run that the owner took */
byte mine = FIRST;                  /* the camera's */
byte inForce = NOBODY;              /* whose the camera is */
bool told;                          /* the owner: of another device, or another run */
bool filmed, honest, late, settled;

#ifdef NO_MAC
#define MAC true
#define MAKES true
#else
#define MAC (code == OURS)
#define MAKES filmed
#endif
#ifdef NO_OWNER
#define OWNED true
#else
#define OWNED (whose == OURS)
#endif
#ifdef NO_SIGNATURE
#define SIGNED(by) true
#else
#define SIGNED(by) (signer == by)
#endif
#ifdef NO_TRANSCRIPT
#define SAME(a) true
#else
#define SAME(a) (r == a)
#endif
#ifdef NO_LOOK
#define HAS false
#else
#define HAS (inForce == OURS)
#endif
#ifdef LATE_CANCEL
#define CANCELS (owner == BEGUN || owner == AGREED)
#else
#define CANCELS (owner == BEGUN)
#endif

#ifdef NO_PATIENCE
#define PATIENT false
#else
#define PATIENT (camera == BEGUN)
#endif

active proctype Owner() {
	mtype kind;
	byte code, signer, r, whose;
end:
	do
	:: atomic { toOwner?kind, code, signer, r, whose ->
		if
		:: !MAC -> skip
		:: MAC && kind == hello && owner == BEGUN && SIGNED(DEVICE(r)) && r != NORUN ->
			took = r; owner = AGREED; offers[r] = true
		:: MAC && kind == hello && (owner == AGREED || owner == DONE) && r != took && SIGNED(DEVICE(r)) -> told = true
		:: MAC && kind == accept && owner == AGREED && SAME(took) && SIGNED(DEVICE(took)) && OWNED ->
			owner = DONE; dones[took] = true
		:: MAC && kind == abort && owner == AGREED && SIGNED(DEVICE(took)) ->
			if
			:: SAME(took) -> owner = FAILED
			:: else -> told = true
			fi
		:: else -> skip
		fi; kind = 0; code = 0; signer = 0; r = 0; whose = 0 }
	/* Its code expires, or it is cancelled. */
	:: atomic { CANCELS -> owner = FAILED; ownerAbort = true }
	/* The hub brings the ownership. */
	:: atomic { late && owner == AGREED && took != THEIRS && inForce == OURS -> owner = DONE }
	od
}

active proctype Camera() {
	mtype kind;
	byte code, signer, r, whose;
	hellos[FIRST] = true;
end:
	do
	:: atomic { toCamera?kind, code, signer, r, whose ->
		if
		:: !MAC -> skip
		:: MAC && kind == offer && camera == BEGUN && SAME(mine) && SIGNED(whose) && OWNED ->
			inForce = whose;
			if
			:: camera = AGREED; accepts[mine] = true
			:: skip /* the power is cut after the first of the two writes */
			fi
		:: MAC && kind == done && camera == AGREED && SAME(mine) && SIGNED(OURS) -> camera = DONE
		:: MAC && kind == abort && camera == BEGUN && r == NORUN && SIGNED(OURS) -> camera = FAILED
		:: else -> skip
		fi; kind = 0; code = 0; signer = 0; r = 0; whose = 0 }
	/* Its patience ends. */
	:: atomic { PATIENT ->
		if
		:: HAS -> camera = DONE
		:: else -> camera = FAILED; cameraAborts[mine] = true
		fi }
	:: atomic { camera == AGREED -> camera = DONE }
	/* It loses its state, and the code is still before its lens. */
	:: atomic { camera == BEGUN && inForce == NOBODY && mine == FIRST && !honest -> mine = SECOND; hellos[SECOND] = true }
	od
}

/* what the courier can put into a message that it makes: a record in its own name, or one
 * that it has from an offer */
#define RECORD (offers[FIRST] || offers[SECOND] || offers[THEIRS])

inline anyRun() {
	if :: run_ = FIRST :: run_ = SECOND :: run_ = THEIRS :: run_ = NORUN fi
}

/* carry does what an honest courier does in one round. */
inline carry() {
	if :: hellos[mine] -> toOwner!hello, OURS, OURS, mine, NOBODY :: else fi;
	if :: offers[mine] -> toCamera!offer, OURS, OURS, mine, OURS :: else fi;
	if :: accepts[mine] -> toOwner!accept, OURS, OURS, mine, OURS :: else fi;
	if :: dones[mine] -> toCamera!done, OURS, OURS, mine, NOBODY :: else fi;
	if :: cameraAborts[mine] -> toOwner!abort, OURS, OURS, mine, NOBODY :: else fi;
	if :: ownerAbort -> toCamera!abort, OURS, OURS, NORUN, NOBODY :: else fi
}

active proctype Courier() {
	byte run_;
	if :: filmed = true :: skip fi;
	do
	:: atomic { anyRun();
		if
		/* what was said in this pairing */
		:: run_ != NORUN && hellos[run_] -> toOwner!hello, OURS, OURS, run_, NOBODY
		:: run_ != NORUN && offers[run_] -> toCamera!offer, OURS, OURS, run_, OURS
		:: run_ != NORUN && accepts[run_] -> toOwner!accept, OURS, OURS, run_, OURS
		:: run_ != NORUN && dones[run_] -> toCamera!done, OURS, OURS, run_, NOBODY
		:: run_ != NORUN && cameraAborts[run_] -> toOwner!abort, OURS, OURS, run_, NOBODY
		:: ownerAbort -> toCamera!abort, OURS, OURS, NORUN, NOBODY
		/* and in the other, where all has been said */
		:: toOwner!hello, OTHER, OTHER, run_, NOBODY
		:: toCamera!offer, OTHER, OTHER, run_, OTHER
		:: toOwner!accept, OTHER, OTHER, run_, OTHER
		:: toCamera!done, OTHER, OTHER, run_, NOBODY
		:: toOwner!abort, OTHER, OTHER, run_, NOBODY
		:: toCamera!abort, OTHER, OTHER, NORUN, NOBODY
		/* what it makes of the code and of keys of its own */
		:: MAKES -> toOwner!hello, OURS, COURIER, run_, NOBODY
		:: MAKES -> toCamera!offer, OURS, COURIER, run_, COURIER
		:: MAKES && RECORD -> toCamera!offer, OURS, COURIER, run_, OURS
		:: MAKES -> toOwner!accept, OURS, COURIER, run_, COURIER
		:: MAKES && RECORD -> toOwner!accept, OURS, COURIER, run_, OURS
		:: MAKES -> toCamera!done, OURS, COURIER, run_, NOBODY
		:: MAKES -> toOwner!abort, OURS, COURIER, run_, NOBODY
		:: MAKES -> toCamera!abort, OURS, COURIER, run_, NOBODY
		fi; run_ = 0 }
	:: break
	od;
	honest = true;
	carry(); carry();
	(camera == DONE || camera == FAILED); /* patience ends */
	carry();
	late = true;
	(owner != BEGUN);                     /* and the code's life */
	carry();
	(owner != AGREED || inForce != OURS || took == THEIRS);
	settled = true
}

/* The camera is nobody's but its owner's. */
ltl camera_right { [] (inForce == NOBODY || inForce == OURS) }

/* The owner takes another device only if the code was filmed; and then the true camera has
 * not accepted. */
ltl device_right { [] (took == THEIRS -> (filmed && inForce == NOBODY)) }

/* An owner that is done has the ownership that is in force; one that failed has none. */
ltl done_agrees { [] ((owner == DONE && took != THEIRS) -> inForce == OURS) }
ltl failed_agrees { [] (owner == FAILED -> inForce == NOBODY) }

/* With an honest courier it comes to an end, on which both sides agree; where another
 * device came first or the camera lost its state, the owner was told. */
#define NEW  (owner == DONE && inForce == OURS && camera == DONE)
#define OLD  (owner == FAILED && inForce == NOBODY && camera == FAILED)
#define TOLD (inForce == NOBODY && camera == FAILED && told)
ltl settles { [] (honest -> <> settled) }
ltl ends_agreed { [] (settled -> (NEW || OLD || TOLD)) }
