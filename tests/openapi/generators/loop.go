// The loop of an application with the generated Go client: upload, create, get, list, delete.
// Prints a line per step, and exits with 1 at the first that fails.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"finetuned"
)

func check(step string, err error, ok bool) {
	var refused *finetuned.GenericOpenAPIError
	if errors.As(err, &refused) {
		fmt.Println(step, "failed:", err, string(refused.Body()))
		os.Exit(1)
	}
	if err != nil || !ok {
		fmt.Println(step, "failed:", err)
		os.Exit(1)
	}
	fmt.Println(step)
}

func main() {
	origin, key, model, path := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	configuration := finetuned.NewConfiguration()
	configuration.Servers = finetuned.ServerConfigurations{{URL: origin}}
	client := finetuned.NewAPIClient(configuration)
	ctx := context.WithValue(context.Background(), finetuned.ContextAccessToken, key)

	rows, err := os.Open(path)
	check("open", err, true)
	file, _, err := client.FilesAPI.CreateFile(ctx).File(rows).Purpose2("fine-tune").Execute()
	check("upload", err, err == nil && file.Object == "file" && file.Bytes > 0)

	files, _, err := client.FilesAPI.ListFiles(ctx).Limit(1).Execute()
	check("list files", err, err == nil && len(files.Data) == 1 && files.Data[0].Id == file.Id)

	size := int64(6) << 30 // over 32 bits
	large := finetuned.NewCreateUpload("large.jsonl", "fine-tune", size, "application/jsonl")
	upload, _, err := client.UploadsAPI.CreateUpload(ctx).CreateUpload(*large).Execute()
	check("create an upload of 6 GiB", err, err == nil && upload.Bytes == size)

	// The number of epochs is a union of a number and "auto".
	var body finetuned.CreateFineTuningJob
	err = json.Unmarshal(fmt.Appendf(nil, `{"model": %q, "training_file": %q,
		"method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2}}}}`,
		model, file.Id), &body)
	check("build a job", err, true)
	job, _, err := client.FineTuningAPI.CreateFineTuningJob(ctx).CreateFineTuningJob(body).Execute()
	check("create a job", err, err == nil && job.Object == "fine_tuning.job")

	found, _, err := client.FineTuningAPI.GetFineTuningJob(ctx, job.Id).Execute()
	check("get the job", err, err == nil && found.TrainingFile == file.Id)

	jobs, _, err := client.FineTuningAPI.ListFineTuningJobs(ctx).Execute()
	check("list jobs", err, err == nil && len(jobs.Data) == 1 && !jobs.HasMore)

	stopped, _, err := client.FineTuningAPI.CancelFineTuningJob(ctx, job.Id).Execute()
	check("cancel the job", err, err == nil && stopped.Status == finetuned.FINETUNINGJOBSTATUS_CANCELLED)

	deleted, _, err := client.FilesAPI.DeleteFile(ctx, file.Id).Execute()
	check("delete the file", err, err == nil && deleted.Deleted)

	_, answer, err := client.FilesAPI.GetFile(ctx, file.Id).Execute()
	var refused *finetuned.GenericOpenAPIError
	isError := errors.As(err, &refused) && answer.StatusCode == 404
	body404, isModel := finetuned.ErrorResponse{}, false
	if isError {
		body404, isModel = refused.Model().(finetuned.ErrorResponse)
	}
	check("get an error", nil, isModel && body404.Error.Param.Get() != nil)
}
