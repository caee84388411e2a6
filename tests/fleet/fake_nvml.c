/* A stand-in for NVIDIA's libnvidia-ml.so.1, which nvidia-ml-py loads as it loads the real one.

It answers from a file that FAKE_NVML names, which is read at each call, so that a test can change
what happens to a GPU. The first line has the driver's version and the result of nvmlInit; each
further line has one GPU or slice, with its fields separated by "|":

    UUID | name | total MiB | used MiB | capability | utilization | error | slowed | parent

`error` is returned by each question about the GPU, `slowed` are its clocks' event reasons, and
`parent` is the number of the GPU that a slice is part of (-1: none). A value below 0 is not
supported. As NVML does, it answers nothing before nvmlInit. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, UNINITIALIZED = 1, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, NOT_LOADED = 9 };
enum { GPUS = 32 };

typedef struct {
    char uuid[80], name[80];
    long long total, used;
    int major, minor, busy, error, slowed, parent;
} Gpu;
typedef struct { unsigned long long total, free, used; } Memory;
typedef struct { unsigned int gpu, memory; } Utilization;

static Gpu gpus[GPUS];
static int count, started, init_result;
static char driver[80];

static int load(void) {
    const char *path = getenv("FAKE_NVML");
    FILE *file = path ? fopen(path, "r") : NULL;
    char line[512];
    if (!file) return NOT_LOADED;
    count = 0;
    if (!fgets(line, sizeof line, file) || sscanf(line, "%79s %d", driver, &init_result) != 2) {
        fclose(file);
        return NOT_LOADED;
    }
    while (count < GPUS && fgets(line, sizeof line, file)) {
        Gpu *gpu = &gpus[count];
        if (sscanf(line, "%79[^|]|%79[^|]|%lld|%lld|%d.%d|%d|%d|%d|%d", gpu->uuid, gpu->name,
                   &gpu->total, &gpu->used, &gpu->major, &gpu->minor, &gpu->busy, &gpu->error,
                   &gpu->slowed, &gpu->parent) == 10)
            count++;
    }
    fclose(file);
    return init_result;
}

static int answers(Gpu *gpu) {
    if (!started) return UNINITIALIZED;
    int result = load();
    if (result) return result;
    return gpu ? gpu->error : OK;
}

static Gpu *nth(int index, int parent) {
    for (int i = 0; i < count; i++)
        if ((parent < 0 ? gpus[i].parent < 0 : gpus[i].parent == parent) && index-- == 0) return &gpus[i];
    return NULL;
}

static int place_of(Gpu *gpu) { /* its number among GPUs that are no slices */
    int place = 0;
    for (Gpu *other = gpus; other < gpu; other++) place += other->parent < 0;
    return place;
}

int nvmlInitWithFlags(unsigned int flags) { (void)flags; int r = load(); started = !r; return r; }
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) { if (!started) return UNINITIALIZED; started = 0; return OK; }

const char *nvmlErrorString(int result) {
    switch (result) {
    case 9: return "Driver Not Loaded";
    case 15: return "GPU is lost";
    case 16: return "GPU requires reset";
    case 18: return "Driver/library version mismatch";
    case 999: return "Unknown Error";
    default: return "Error";
    }
}

int nvmlSystemGetDriverVersion(char *text, unsigned int length) {
    int r = answers(NULL);
    if (!r) snprintf(text, length, "%s", driver);
    return r;
}

int nvmlDeviceGetCount_v2(unsigned int *found) {
    int r = answers(NULL);
    for (*found = 0; !r && nth((int)*found, -1); ++*found) {}
    return r;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, Gpu **gpu) {
    int r = answers(NULL);
    if (r) return r;
    *gpu = nth((int)index, -1);
    return *gpu ? (*gpu)->error : INVALID;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, Gpu **gpu) {
    int r = answers(NULL);
    for (int i = 0; !r && i < count; i++)
        if (!strcmp(gpus[i].uuid, uuid)) { *gpu = &gpus[i]; return gpus[i].error; }
    return r ? r : NOT_FOUND;
}

int nvmlDeviceGetUUID(Gpu *gpu, char *text, unsigned int length) {
    int r = answers(gpu);
    if (!r) snprintf(text, length, "%s", gpu->uuid);
    return r;
}

int nvmlDeviceGetName(Gpu *gpu, char *text, unsigned int length) {
    int r = answers(gpu);
    if (!r) snprintf(text, length, "%s", gpu->name);
    return r;
}

int nvmlDeviceGetMemoryInfo(Gpu *gpu, Memory *memory) {
    int r = answers(gpu);
    if (r || gpu->total < 0) return r ? r : NOT_SUPPORTED; /* as on GPUs with the host's memory */
    memory->total = (unsigned long long)gpu->total << 20;
    memory->used = (unsigned long long)gpu->used << 20;
    memory->free = memory->total - memory->used;
    return OK;
}

int nvmlDeviceGetCudaComputeCapability(Gpu *gpu, int *major, int *minor) {
    int r = answers(gpu);
    if (r || gpu->parent >= 0) return r ? r : INVALID;
    *major = gpu->major;
    *minor = gpu->minor;
    return OK;
}

int nvmlDeviceGetUtilizationRates(Gpu *gpu, Utilization *rates) {
    int r = answers(gpu);
    if (r || gpu->busy < 0 || gpu->parent >= 0) return r ? r : NOT_SUPPORTED;
    rates->gpu = (unsigned int)gpu->busy;
    rates->memory = 0;
    return OK;
}

int nvmlDeviceGetCurrentClocksEventReasons(Gpu *gpu, unsigned long long *reasons) {
    int r = answers(gpu);
    if (r || gpu->slowed < 0 || gpu->parent >= 0) return r ? r : NOT_SUPPORTED;
    *reasons = (unsigned long long)gpu->slowed;
    return OK;
}

int nvmlDeviceGetMigMode(Gpu *gpu, unsigned int *now, unsigned int *pending) {
    int r = answers(gpu);
    if (r) return r;
    if (gpu->major < 8) return NOT_SUPPORTED;
    *now = *pending = nth(0, place_of(gpu)) != NULL;
    return OK;
}

int nvmlDeviceGetMaxMigDeviceCount(Gpu *gpu, unsigned int *found) {
    int r = answers(gpu);
    *found = 7;
    return r;
}

int nvmlDeviceGetMigDeviceHandleByIndex(Gpu *gpu, unsigned int index, Gpu **part) {
    int r = answers(gpu);
    if (r) return r;
    *part = nth((int)index, place_of(gpu));
    return *part ? OK : NOT_FOUND;
}
